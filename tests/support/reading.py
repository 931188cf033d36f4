"""Readability of a text: Flesch-Kincaid for English, Kandel-Moles for French."""

import re
import unicodedata

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
SENTENCE = re.compile(r"[.!?…]+(?=\s|$|[”»])")


def english_grade(sentences: list[str]) -> float:
    """Return the school grade of an English text (Kincaid and others, 1975)."""
    lines, words, syllables = _counted(sentences, english_syllables)
    return 0.39 * words / lines + 11.8 * syllables / words - 15.59


def french_ease(sentences: list[str]) -> float:
    """Return the ease of a French text, 0 to 100; 80 or more is grade 6 or below (Kandel and Moles, 1958)."""
    lines, words, syllables = _counted(sentences, french_syllables)
    return 207 - 1.015 * words / lines - 73.6 * syllables / words


def english_syllables(word: str) -> int:
    """Estimate the number of syllables of an English word."""
    plain = re.sub(r"[^a-z]", "", _bare(word))
    spoken = re.sub(r"(?<=[^aeiouyl])e(s|d)?$|(?<=[^aeiouylt])(?<=l)e$", "", plain)
    if re.search(r"(?:[td]ed|[szxc]es|[cs]hes|ges)$", plain):
        spoken = plain
    return max(1, len(re.findall(r"[aeiouy]+", spoken)))


def french_syllables(word: str) -> int:
    """Estimate the number of spoken syllables of a French word; a final mute `e` does not count."""
    total = 0
    for part in re.split(r"['’-]", word.lower()):
        accented = re.sub(r"qu|gu(?=[eéi])", "q", part)
        spoken = re.sub(r"(?<=[^aeiouyàâéèêëîïôûù])(e|es|ent)$", "", accented) if len(part) > 3 else accented
        total += len(re.findall(r"[aeiouyàâéèêëîïôöûùüœ]+", spoken))
    return max(1, total)


def _counted(sentences: list[str], syllables: object) -> tuple[int, int, int]:
    assert callable(syllables)
    lines = sum(max(1, len(SENTENCE.findall(text))) for text in sentences)
    words = [word for text in sentences for word in WORD.findall(text)]
    return lines, len(words), sum(syllables(word) for word in words)


def _bare(text: str) -> str:
    return unicodedata.normalize("NFKD", text.lower()).encode("ascii", "ignore").decode()
