"""Encoding of a file of text: UTF-8, UTF-16, or the most probable of those before Unicode."""

import codecs
import re
from pathlib import Path

from qrl.common.errors import UsageError
from qrl.common.files import open_stream, path_error

MAX_LINE_BYTES = 4 << 20
"""Longest line of a CSV file [bytes]."""
_CONTROLS = bytes(set(range(32)) - set(b"\t\n\r\f\x1a"))
_OF_WORDS = ("cp1251", "koi8_r", "cp1253")
"""Encodings of alphabets whose letters are in the upper half of a byte: Cyrillic and Greek."""
_OF_SYLLABLES = ("cp932", "gb18030", "big5", "euc_jp", "cp949")
_LETTER = r"[^\W\d_]"
_CENTRAL_EUROPEAN = re.compile(
    rf"(?<={_LETTER})[¹¼¾¯¥¿Ÿ\ufffd]|[¹¼¾¯¥£Ÿ\ufffd](?={_LETTER})|(?<={_LETTER})[ºª](?={_LETTER})"
    rf"|³(?={_LETTER})|(?<![\Wm\d_])³"
)
"""Signs in words that are letters in cp1250: ³ is ł there. Footnotes and m³, nº and ¿Qué? are of Western Europe."""


def encoding_of(path: Path, utf16: bool) -> str:
    """Return the encoding: UTF-8 if the whole file is valid UTF-8, UTF-16 if it says so, else the most probable one.

    Raises:
        UsageError: the file is not text, or has a very long line.
    """
    decoder, since = codecs.getincrementaldecoder("utf-8")(), 0
    utf8, sample = not utf16, b""
    try:
        with open_stream(path) as file:
            while chunk := file.read(1 << 20):
                if not utf16 and (
                    b"\0" in chunk or len(chunk) - len(chunk.translate(None, _CONTROLS)) > len(chunk) // 100
                ):
                    raise UsageError(f"{path} is not a text file; expected a CSV file, or Parquet or Excel")
                since = 0 if b"\n" in chunk or b"\r" in chunk else since + len(chunk)
                if since >= MAX_LINE_BYTES:
                    raise UsageError(f"{path}: a line is longer than {MAX_LINE_BYTES >> 20} MiB: not a CSV file")
                try:
                    utf8 = utf8 and decoder.decode(chunk) is not None
                except UnicodeDecodeError:
                    utf8, sample = False, chunk
    except OSError as error:
        raise path_error(path, error) from error
    if utf8 or utf16:
        return "utf-16" if utf16 else "utf-8-sig"
    return likely_encoding(b"\n".join(line for line in sample.splitlines() if not line.isascii()))


def likely_encoding(text: bytes) -> str:
    """Return the most probable encoding of text that is not in UTF-8.

    Accented letters stand alone among others. Words of Cyrillic and Greek consist of letters from the upper quarter of
    a byte; those of syllables, of pairs of bytes. Short texts are often beyond charset-normalizer, which chooses within
    these kinds, and so Western European is assumed unless something speaks against it.
    """
    from charset_normalizer import from_bytes

    runs = re.findall(rb"[\x80-\xff]+", text)
    n_touching = len(re.findall(rb"(?<=[A-Za-z])[\x80-\xff]+|[\x80-\xff]+(?=[A-Za-z])", text))
    if sum(len(run) == 1 for run in runs) >= 0.75 * len(runs) or (n_touching >= 0.5 * len(runs) and _letters(runs)):
        return _of_accented_letters(text)
    share = sum(byte >= 0xC0 for run in runs for byte in run) / sum(map(len, runs))
    of_words = share >= 0.9 or (share >= 0.7 and not n_touching and any(len(run) % 2 for run in runs))
    best = from_bytes(text, cp_isolation=list(_OF_WORDS if of_words else _OF_SYLLABLES), threshold=0.5).best()
    return best.encoding if best else ("cp1251" if of_words else _of_accented_letters(text))


def _letters(runs: list[bytes]) -> bool:
    """Return whether nearly all of the bytes are letters in an encoding of accented letters."""
    high = b"".join(runs)
    return any(sum(map(str.isalpha, high.decode(each, "replace"))) >= 0.8 * len(high) for each in ("cp1252", "cp1250"))


def _of_accented_letters(text: bytes) -> str:
    """Return the encoding of a Latin alphabet with accents; a letter below is what cp1252 makes of it."""
    read = text.decode("cp1252", "replace")
    lower = read.lower()
    found = set(lower)

    def has(letters: str) -> bool:
        return not found.isdisjoint(letters)

    def occurs(pattern: str) -> bool:
        return re.search(pattern, lower) is not None

    of_cp1250 = (
        _CENTRAL_EUROPEAN.search(read)
        or (occurs(rf"[ìòù](?={_LETTER})") and not has("çà"))  # ě, ň, ů: Italian has its accents at the end
        or occurs(r"ñ(?=[bcdfghjklmnpqrstvwxz]|[\s,;|\"]|$)")  # ń
        or occurs(r"ø(?=[íìáéúùý])|[aeiou]ø|ø\w*[èš]|[ìù]\w*ø")  # ř is a consonant, ø a vowel
        # ő: in Portuguese an e follows, and Estonian has no c, y and z.
        or (occurs("õ(?!e)") and (has("áéíóú") or occurs("[cyz]õ|õ[cyz]")) and not has("ãç"))
        or (has("û") and has("á") and has("öü"))  # ű
        or ((has("šž") and has("èæ")) or occurs(r"iæ\b"))  # č, ć
        or occurs("ã[bcdfghjklmnpqrtvxz]")  # ă
    )
    if of_cp1250:
        return "cp1250"
    turkish = (has("þð") and has("çüöý")) or occurs(r"[a-z]ý[a-z]|\bý[a-z]")  # ş, ğ, ı, İ
    return "cp1254" if turkish and not has("áéíóúæø") else "cp1252"
