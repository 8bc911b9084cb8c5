"""Journals of something else or damaged, and study files with errors, by name."""

from collections.abc import Mapping

from benchmarks.fault_injection.command_lines import HUGE, LARGE

JOURNALS: Mapping[str, bytes] = {
    "csv": b"epoch,loss\n1,2\n",
    "jsonl": b'{"iteration": 1}\n{"iteration": 2}\n',
    "object": b"{}\n",
    "huge_code": b'{"op_code": 99999999999, "worker_id": "a"}\n',
    "unknown_code": b'{"op_code": 99, "worker_id": "a"}\n',
    "no_study": b'{"op_code": 4, "worker_id": "a"}\n',
    "wrong_types": b'{"op_code": 0, "worker_id": "a", "study_name": [1], "directions": "x"}\n',
    "wrong_attribute": b'{"op_code": 0, "worker_id": "a", "study_name": "navigation-maml-mlp", "directions": [2]}\n'
    b'{"op_code": 2, "worker_id": "a", "study_id": 0, "user_attr": {"qrl:search": 3}}\n',
    "minimised": b'{"op_code": 0, "worker_id": "a", "study_name": "navigation-maml-mlp", "directions": [1]}\n',
    "two_aims": b'{"op_code": 0, "worker_id": "a", "study_name": "navigation-maml-mlp", "directions": [2, 2]}\n',
    "wrong_date": b'{"op_code": 0, "worker_id": "a", "study_name": "navigation-maml-mlp", "directions": [2]}\n'
    b'{"op_code": 4, "worker_id": "a", "study_id": 0, "datetime_start": "yesterday"}\n',
    "binary": bytes(range(256)) * 8,
    "pickle": b"\x80\x04\x95pickled\n",
}
"""Contents of files for --storage journal:FILE."""

STUDY_TABLES: Mapping[str, bytes] = {
    "not_toml": b"{",
    "nothing": b"",
    "bytes": bytes(range(256)),
    "unknown": b"sedes = 3\n",
    "seeds_zero": b"seeds = 0\n",
    "seeds_text": b'seeds = "three"\n',
    "seeds_date": b"seeds = 2020-01-01\n",
    "seeds_huge": f"seeds = {HUGE}\n".encode(),
    "seeds_huger": f"seeds = {LARGE}\n".encode(),
    "seeds_infinite": b"seeds = inf\n",
    "seeds_twice": b"seeds = [1, 1]\n",
    "jobs_zero": b"jobs = 0\n",
    "jobs_flag": b"jobs = true\n",
    "models_text": b'models = "mlp"\n',
    "models_empty": b"models = []\n",
    "models_number": b"models = [1]\n",
    "models_unknown": b'models = ["mlpp"]\n',
    "models_twice": b'models = ["mlp", "mlp"]\n',
    "option_unknown": b"[options]\niteratons = 3\n",
    "option_table": b"[options]\niterations = [[1]]\n",
    "option_infinite": b"[options]\n'agent.lr-angles' = inf\n",
    "option_nul": b'[options]\nenv = "a\\u0000b"\n',
    "option_trust": b"[options]\ntrust = true\n",
    "option_config": b'[options]\nconfig = "nav"\n',
    "option_ray": b"[options]\nray = true\n",
    "grid_number": b"[grid]\n'agent.inner-steps' = 3\n",
    "grid_empty": b"[grid]\n'agent.inner-steps' = []\n",
    "grid_unknown": b"[grid]\n'agent.iner-steps' = [1, 2]\n",
    "grid_twice": b"[grid]\n'agent.inner-steps' = [1, 1]\n",
    "grid_many": b"seeds = 5000\n[grid]\n'agent.inner-steps' = [1, 2, 3]\n",
    "variant_nameless": b"[[variants]]\noptions = {}\n",
    "variant_number": b"variants = [3]\n",
    "variants_empty": b"variants = []\n",
    "deep": b"a" + b".a" * 5000 + b" = 1\n",
    "deep_list": b"seeds = " + b"[" * 5000 + b"]" * 5000 + b"\n",
    "out_nul": b'out = "\\u0000"\n',
    "out_number": b"out = 3\n",
}
"""Contents of study files."""
