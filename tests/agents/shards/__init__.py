"""Tests of training in shards."""
