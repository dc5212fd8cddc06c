"""The languages that Whisper knows, and how a BCP 47 tag finds its way to one of them.

Whisper's codes are ISO 639 with a few habits of its own ("jw", "tl", "no"); whatever passes
``whisper_code`` is in ``WHISPER_LANGUAGES``.
"""

import re

import langcodes

AUTO = "auto"

WHISPER_LANGUAGES = tuple(
    """
    af am ar as az ba be bg bn bo br bs ca cs cy da de el en es et eu fa fi fo fr gl gu ha haw he
    hi hr ht hu hy id is it ja jw ka kk km kn ko la lb ln lo lt lv mg mi mk ml mn mr ms mt my ne
    nl nn no oc pa pl ps pt ro ru sa sd si sk sl sn so sq sr su sv sw ta te tg th tk tl tr tt uk
    ur uz vi yi yo yue zh
    """.split()  # noqa: SIM905 - a list of a hundred literals is no easier to read.
)

_KNOWN = frozenset(WHISPER_LANGUAGES)
_TAG = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*")

# Where Whisper kept a code that the registry has replaced, or knows only the wider language.
_WHISPER_HABITS = {"jv": "jw", "fil": "tl", "nb": "no"}


def whisper_code(tag: str) -> str | None:
    """Return Whisper's code for a BCP 47 tag such as "pt-BR" or "iw"; None if it has none."""
    if not _TAG.fullmatch(tag):
        return None
    language = langcodes.Language.get(_language_subtag(tag))
    for code in (language.language, language.prefer_macrolanguage().language):
        code = _WHISPER_HABITS.get(code or "", code)
        if code in _KNOWN:
            return code
    return None


def _language_subtag(tag: str) -> str:
    # Alone, because langcodes keeps every tag it has parsed for good, and tags come from users.
    primary, *rest = re.split("[-_]", tag.lower())
    extended = rest[0] if rest and re.fullmatch("[a-z]{3}", rest[0]) else ""  # "zh-yue" is "yue".
    return extended or primary
