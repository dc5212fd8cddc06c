"""Storing, paging and exporting transcripts."""

import json
import random
from itertools import pairwise

import pysubs2
import pytest
from batchscribe.v1.batch_service_pb2 import (
    TRANSCRIPT_FORMAT_JSON,
    TRANSCRIPT_FORMAT_JSONL,
    TRANSCRIPT_FORMAT_SRT,
    TRANSCRIPT_FORMAT_TXT,
    TRANSCRIPT_FORMAT_UNSPECIFIED,
    TRANSCRIPT_FORMAT_VTT,
)
from batchscribe.v1.transcript_pb2 import Segment, SourceInfo, Transcript, Word
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration

from gateway import transcripts
from gateway.errors import InvalidRequest
from gateway.subtitles import Layout, cues, one_line

HOSTILE = r"--> <script>alert(1)</script> {\an8} <i>x</i> & C:\new"


def seconds(value: float) -> Duration:
    span = Duration()
    span.FromMilliseconds(round(value * 1000))
    return span


def segment(
    text: str, start: float = 0, end: float = 4, words: list[Word] | None = None
) -> Segment:
    return Segment(
        text=text, start_offset=seconds(start), end_offset=seconds(end), words=words or []
    )


def word(text: str, start: float, end: float) -> Word:
    return Word(word=text, start_offset=seconds(start), end_offset=seconds(end))


def transcript(*segments: Segment, title: str = "A talk", source_id: str = "abc") -> Transcript:
    for index, one in enumerate(segments):
        one.index = index
    return Transcript(
        transcription_id="trans_1",
        language_code="en",
        text=" ".join(one.text.strip() for one in segments),
        segments=segments,
        source=SourceInfo(title=title, source_id=source_id),
    )


def numbered(count: int) -> Transcript:
    return transcript(*(segment(f" line {n}", n, n + 1) for n in range(count)))


def exported(whole: Transcript, file_format: int) -> str:
    return transcripts.export(whole, file_format).data.decode()  # type: ignore[arg-type]


def test_packing_keeps_everything_and_is_smaller() -> None:
    """What comes out of storage equals what went in, at a fraction of its size."""
    whole = numbered(1000)
    packed = transcripts.pack(whole)
    assert transcripts.unpack(packed) == whole
    assert len(packed) < whole.ByteSize() / 3


def test_pages_follow_each_other_without_gap() -> None:
    """Following the tokens gives every segment once, each page with its own text."""
    whole = numbered(7)
    token, seen = "", []
    while True:
        part, token = transcripts.page(whole, 3, token)
        assert part.text == " ".join(one.text.strip() for one in part.segments)
        seen += [one.index for one in part.segments]
        if not token:
            break
    assert seen == list(range(7))


def test_a_small_transcript_is_one_page() -> None:
    """All segments on one page come with the whole text and no token."""
    whole = numbered(3)
    assert transcripts.page(whole, 3, "") == (whole, "")


def test_page_sizes_have_a_default_and_a_cap() -> None:
    """0 means 500 segments, more than 2000 means 2000."""
    whole = numbered(2500)
    assert len(transcripts.page(whole, 0, "")[0].segments) == 500
    assert len(transcripts.page(whole, 9999, "")[0].segments) == 2000


@pytest.mark.parametrize("token", ["x", "!!", "dHJhbnNfMjoz", "dHJhbnNfMTotMw==", "w7w6Mw"])
def test_foreign_page_tokens_are_refused(token: str) -> None:
    """A token that is garbled, negative or of another transcript is refused."""
    with pytest.raises(InvalidRequest) as caught:
        transcripts.page(numbered(5), 2, token)
    assert caught.value.violations[0].reason == "PAGE_TOKEN_INVALID"


def test_negative_page_sizes_are_refused() -> None:
    """A negative page size is refused by name."""
    with pytest.raises(InvalidRequest, match="page_size"):
        transcripts.page(numbered(1), -1, "")


def test_cues_fit_the_layout() -> None:
    """No line is longer and no cue has more lines than asked; no word is lost."""
    text = "the quick brown fox jumps over the lazy dog " * 6
    shown = cues([segment(text)], Layout(20, 2))
    assert all(len(line) <= 20 for cue in shown for line in cue.lines)
    assert all(1 <= len(cue.lines) <= 2 for cue in shown)
    assert " ".join(line for cue in shown for line in cue.lines).split() == text.split()


def test_split_cues_take_their_times_from_words() -> None:
    """With words, a cue starts with its first word and ends with its last."""
    words = [word(" hello", 0.5, 1), word(" there", 1.2, 2), word(" again", 3, 3.5)]
    shown = cues([segment(" hello there again", words=words)], Layout(11, 1))
    assert [(cue.start_ms, cue.end_ms, cue.lines) for cue in shown] == [
        (500, 2000, ("hello there",)),
        (3000, 3500, ("again",)),
    ]


def test_split_cues_share_the_time_without_words() -> None:
    """Without words, the segment's time is shared by the number of characters."""
    shown = cues([segment("aaaa aaaa bbbb", 0, 12)], Layout(9, 1))
    assert [(cue.start_ms, cue.end_ms) for cue in shown] == [(0, 8000), (8000, 12000)]


def test_text_without_spaces_is_broken_anywhere() -> None:
    """Japanese without spaces fits the lines and keeps every character."""
    text = "これは長い日本語の文です。" * 6
    shown = cues([segment(text)], Layout(16, 2))
    assert all(len(line) <= 16 for cue in shown for line in cue.lines)
    assert "".join(line for cue in shown for line in cue.lines) == text
    assert len(shown) == 3


def test_cues_never_overlap_and_always_move_on() -> None:
    """However segments overlap, run backwards or are empty, cues are in order and have length."""
    dice = random.Random(7)
    mixed = [
        segment("word " * dice.randrange(40), dice.uniform(0, 50), dice.uniform(0, 50))
        for _ in range(200)
    ]
    shown = cues(mixed, Layout(42, 2))
    assert len(shown) > len(mixed)
    assert all(cue.start_ms < cue.end_ms for cue in shown)
    assert all(before.end_ms <= after.start_ms for before, after in pairwise(shown))


def test_srt_is_as_players_expect() -> None:
    """A SubRip file has numbered cues, comma times and a blank line behind each cue."""
    whole = transcript(segment(" Hello.", 0, 1.5), segment(" World.", 3661, 3662.25))
    assert exported(whole, TRANSCRIPT_FORMAT_SRT) == (
        "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n2\n01:01:01,000 --> 01:01:02,250\nWorld.\n\n"
    )


def test_vtt_is_as_browsers_expect() -> None:
    """A WebVTT file has its signature and times with a point."""
    text = exported(transcript(segment(" Hello.", 0, 1.5)), TRANSCRIPT_FORMAT_VTT)
    assert text.startswith("WEBVTT\n\n")
    assert "00:00:00.000 --> 00:00:01.500\nHello.\n" in text


@pytest.mark.parametrize("file_format", [TRANSCRIPT_FORMAT_SRT, TRANSCRIPT_FORMAT_VTT])
def test_hostile_text_stays_text(file_format: int) -> None:
    """Arrows, tags and override codes in speech never become time lines, markup or line breaks."""
    text = exported(transcript(segment(HOSTILE), segment("x\n\n9\n\n00:00 --> 1")), file_format)
    assert text.count("-->") == 2
    assert "<script" not in text
    assert "<i>" not in text
    assert r"{\an8}" not in text or file_format == TRANSCRIPT_FORMAT_VTT
    assert len(pysubs2.SSAFile.from_string(text)) == 2
    assert "C:\\\u200bnew" in text


def test_vtt_escapes_by_its_own_rules() -> None:
    """WebVTT text carries &, < and > as references."""
    text = exported(transcript(segment("a < b & c > d")), TRANSCRIPT_FORMAT_VTT)
    assert "a &lt; b &amp; c &gt; d" in text


@pytest.mark.parametrize("file_format", [TRANSCRIPT_FORMAT_TXT, TRANSCRIPT_FORMAT_UNSPECIFIED])
def test_txt_has_a_line_for_each_segment(file_format: int) -> None:
    """Plain text is the default; line breaks within a segment and empty segments vanish."""
    whole = transcript(segment(" one\ntwo "), segment("  "), segment(" three"))
    assert exported(whole, file_format) == "one two\nthree\n"


def test_json_is_the_whole_transcript() -> None:
    """The JSON file parses back into the same transcript, letters as they are."""
    whole = transcript(segment(" Olá"), title="Ação")
    text = exported(whole, TRANSCRIPT_FORMAT_JSON)
    assert json_format.Parse(text, Transcript()) == whole
    assert "Ação" in text


def test_jsonl_is_a_segment_for_each_line() -> None:
    """Every line of JSONL is one whole segment with its index, the first one's 0 included."""
    whole = transcript(segment(" one\ntwo"), segment(" three"))
    lines = [json.loads(line) for line in exported(whole, TRANSCRIPT_FORMAT_JSONL).splitlines()]
    assert [(line["index"], line["text"]) for line in lines] == [(0, " one\ntwo"), (1, " three")]


@pytest.mark.parametrize(
    ("lengths", "field"),
    [((15, 2), "max_line_length"), ((201, 2), "max_line_length"), ((42, 5), "max_line_count")],
)
def test_layout_limits_are_checked(lengths: tuple[int, int], field: str) -> None:
    """Line length and count outside their range are refused by name."""
    with pytest.raises(InvalidRequest, match=field):
        transcripts.export(numbered(1), TRANSCRIPT_FORMAT_SRT, *lengths)


def test_unknown_formats_are_refused() -> None:
    """A format from a newer contract is refused, not guessed."""
    with pytest.raises(InvalidRequest, match="format"):
        exported(numbered(1), 99)


@pytest.mark.parametrize(
    ("title", "source_id", "name"),
    [
        ("A talk", "abc", "A talk [abc].srt"),
        ("../../etc/passwd", "a/b", "_.._etc_passwd [a_b].srt"),
        ("-rf .", "x", "rf [x].srt"),
        ("a\n\0b\u202ec", "x", "a b c [x].srt"),
        ('what? "a:b|c"', "x", "what_ _a_b_c_ [x].srt"),
        ("", "", "[trans_1].srt"),
        ("...", "x", "[x].srt"),
        ("é" * 500, "x", "é" * 90 + " [x].srt"),
    ],
)
def test_file_names_are_safe(title: str, source_id: str, name: str) -> None:
    """A file name never leaves its folder, hides, looks like an option or is too long."""
    whole = transcript(segment("x"), title=title, source_id=source_id)
    assert transcripts.export(whole, TRANSCRIPT_FORMAT_SRT).file_name == name


def test_one_line_keeps_joiners() -> None:
    """Control characters become spaces; the joiners that scripts and emoji need stay."""
    assert one_line(" a\x00b\r\n c\u200dd\u2028e ") == "a b c\u200dd e"
