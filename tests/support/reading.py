"""How easy a text is to read: Flesch-Kincaid for English, Kandel-Moles for French."""

import re
import unicodedata

WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
SENTENCE = re.compile(r"[.!?…]+(?=\s|$|[”»])")


def english_grade(sentences: list[str]) -> float:
    """The school grade at which a text is read (Kincaid and others, 1975)."""
    lines, words, syllables = _counted(sentences, english_syllables)
    return 0.39 * words / lines + 11.8 * syllables / words - 15.59


def french_ease(sentences: list[str]) -> float:
    """From 0 to 100, the higher the easier; 80 and more is grade 6 and below (Kandel and Moles, 1958)."""
    lines, words, syllables = _counted(sentences, french_syllables)
    return 207 - 1.015 * words / lines - 73.6 * syllables / words


def english_syllables(word: str) -> int:
    """About how many syllables an English word has."""
    plain = re.sub(r"[^a-z]", "", _bare(word))
    spoken = re.sub(r"(?<=[^aeiouyl])e(s|d)?$|(?<=[^aeiouylt])(?<=l)e$", "", plain)
    if re.search(r"(?:[td]ed|[szxc]es|[cs]hes|ges)$", plain):
        spoken = plain
    return max(1, len(re.findall(r"[aeiouy]+", spoken)))


def french_syllables(word: str) -> int:
    """About how many syllables a French word has, as it is spoken: a last mute `e` is none."""
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
