"""What sheets of paper are made of: inks, a head, a table with money in it, a text that leads somewhere, numbered pages."""

from __future__ import annotations

import calendar
import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any, Final, Literal

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, SimpleDocTemplate, Table

from app.kit.money import dollars
from app.statements.months import Month

INK, FAINT, LINE, SHADE, BLUE = (
    colors.HexColor(code) for code in ("#1c1917", "#78716c", "#d6d3d1", "#f5f5f4", "#1d4ed8")
)
PLAIN, BOLD = "Helvetica", "Helvetica-Bold"
_MARGIN, _TOP, _BOTTOM, _FOOT = 20 * mm, 18 * mm, 22 * mm, 12 * mm
WIDTH: Final = A4[0] - 2 * _MARGIN
TEXT: Final = ParagraphStyle("text", fontName=PLAIN, fontSize=7.5, leading=10, textColor=FAINT)
HEADING: Final = ParagraphStyle(
    "heading", fontName=BOLD, fontSize=11, leading=14, textColor=INK, spaceBefore=16, spaceAfter=5
)
ROOM_FOR_DECIMALS: Final = 32.0
"""What stands to the right of a decimal point, in points."""
_STROKES = str.maketrans("łŁđĐı", "lLdDi")
_FRAME_PADDING = 6  # what the library leaves free on either side
_SIZE, _LEADING = 8, 10.5


def bound(story: list[Flowable], *, title: str, subject: str, foot: str) -> bytes:
    """Return a story as PDF, its pages numbered; the same story is the same bytes."""
    out = io.BytesIO()
    document = SimpleDocTemplate(
        out,
        pagesize=A4,
        leftMargin=_MARGIN - _FRAME_PADDING,
        rightMargin=_MARGIN - _FRAME_PADDING,
        topMargin=_TOP,
        bottomMargin=_BOTTOM,
        title=title,
        author="Hourglass",
        subject=subject,
        lang="en",
        invariant=1,
    )

    class Sheets(_NumberedCanvas):
        foot_text = foot

    document.build(story, canvasmaker=Sheets)
    return out.getvalue()


def head(title: str, month: Month) -> Table:
    """Return what a paper begins with: whose it is, what it is, and of which month."""
    return Table(
        [["Hourglass", title], ["GPUs by the second, prepaid", f"{calendar.month_name[month.number]} {month.year}"]],
        colWidths=[WIDTH / 2] * 2,
        style=[
            ("FONT", (0, 0), (0, 0), BOLD, 20, 22),
            ("FONT", (1, 0), (1, 0), BOLD, 13, 22),
            ("FONT", (0, 1), (0, 1), PLAIN, 8.5, 12),
            ("FONT", (1, 1), (1, 1), PLAIN, 11, 12),
            ("TEXTCOLOR", (0, 0), (-1, -1), INK),
            ("TEXTCOLOR", (0, 1), (0, 1), FAINT),
            ("ALIGN", (1, 0), (1, -1), "RIGHT"),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("RIGHTPADDING", (0, 0), (-1, -1), 0),
            ("LINEBELOW", (0, 1), (-1, 1), 0.8, INK),
            ("BOTTOMPADDING", (0, 1), (-1, 1), 8),
        ],
    )


def parties(account: Sequence[str], month: Month, *, final: bool, as_of: datetime) -> Table:
    """Return an account in its own words, its name first, beside the month and how far it is settled."""
    facts = [
        ["Period", f"{day(month.starts_at)} to {day(month.ends_at - timedelta(days=1))}, UTC"],
        ["Status", "Final" if final else "Provisional"],
        ["As of", moment(as_of)],
        ["Currency", "US dollars"],
    ]
    rows = [[left, *(right or ["", ""])] for left, right in zip_longest(["Account", *account], facts, fillvalue="")]
    return Table(
        rows,
        colWidths=[WIDTH * 0.52, WIDTH * 0.14, WIDTH * 0.34],
        style=[
            ("FONT", (0, 0), (-1, -1), PLAIN, 9, 12),
            ("FONT", (0, 1), (0, 1), BOLD, 9, 12),
            ("TEXTCOLOR", (0, 0), (-1, -1), INK),
            ("TEXTCOLOR", (0, 0), (0, 0), FAINT),
            ("TEXTCOLOR", (1, 0), (1, -1), FAINT),
            ("LEFTPADDING", (0, 0), (-1, -1), 0),
            ("TOPPADDING", (0, 0), (-1, -1), 1),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1),
        ],
    )


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table: its heading, its part of the width, and how it is aligned."""

    title: str
    share: float
    align: Literal["LEFT", "RIGHT", "DECIMAL"] = "DECIMAL"
    decimals: float = ROOM_FOR_DECIMALS
    """How much room is left for what follows a decimal point."""


def table(columns: Sequence[Column], rows: Sequence[list[Any]], *, has_total: bool = False) -> Table:
    """Return a table whose heading is repeated on every page; its last row may be a total."""
    style: list[Any] = [
        ("FONT", (0, 0), (-1, -1), PLAIN, _SIZE, _LEADING),
        ("TEXTCOLOR", (0, 0), (-1, -1), INK),
        ("TEXTCOLOR", (0, 0), (-1, 0), FAINT),
        ("LINEABOVE", (0, 2), (-1, -1), 0.25, LINE),
        ("LINEBELOW", (0, -1), (-1, -1), 0.25, LINE),
        ("LINEBELOW", (0, 0), (-1, 0), 0.6, INK),  # last, since on a later page a row's own line lies under it
        ("LEFTPADDING", (0, 0), (0, -1), 0),
        ("TOPPADDING", (0, 0), (-1, -1), 2.5),
        ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5),
    ]
    for n, column in enumerate(columns):
        style.append(("ALIGN", (n, 0), (n, -1), "LEFT" if column.align == "LEFT" else "RIGHT"))
        if column.align == "DECIMAL":
            style.append(("RIGHTPADDING", (n, 0), (n, 0), max(6, column.decimals - 14)))
            style += point_under_point(n, [row[n] for row in rows], room=column.decimals, size=_SIZE, from_row=1)
    if has_total:
        style += [("FONT", (0, -1), (-1, -1), BOLD, _SIZE, _LEADING), ("LINEABOVE", (0, -1), (-1, -1), 0.6, INK)]
    titles = [column.title for column in columns]
    widths = [WIDTH * column.share for column in columns]
    return Table([titles, *rows], colWidths=widths, repeatRows=1, style=style)


def point_under_point(
    column: int, texts: Sequence[str], *, room: float, size: float, from_row: int = 0
) -> list[tuple[Any, ...]]:
    """Return the style that puts decimal points under each other. Each amount stays one text, to be copied or searched."""
    return [
        (
            "RIGHTPADDING",
            (column, row),
            (column, row),
            room - stringWidth("".join(text.partition(".")[1:]), PLAIN, size),
        )
        for row, text in enumerate(texts, start=from_row)
    ]


def in_print(text: str) -> str:
    """Return a text as far as the paper's font can show it: without an accent it lacks, or a question mark."""
    return "".join(map(_in_print, text))


def shortened(name: str, most: int) -> str:
    """Return a name in print, cut where it is longer than ``most`` characters."""
    told = in_print(name)
    return told if len(told) <= most else f"{told[:most]}..."


def _in_print(character: str) -> str:
    if not character.isprintable():
        return " "
    forms = (character, character.translate(_STROKES), unicodedata.normalize("NFKD", character)[:1])
    return next((form for form in forms if _has_glyph(form)), "?")


def _has_glyph(character: str) -> bool:
    try:
        return bool(character.encode("cp1252"))
    except UnicodeEncodeError:
        return False


def signed(micros: int) -> str:
    """Return a change in dollars, with its sign."""
    return f"+{dollars(micros)}" if micros > 0 else dollars(micros)


def duration(seconds: int) -> str:
    """Return a time as hours, minutes and seconds."""
    hours, rest = divmod(seconds, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}"


def day(at: datetime) -> str:
    """Return a day as a person writes it."""
    return f"{at.day} {calendar.month_name[at.month]} {at.year}"


def moment(at: datetime) -> str:
    """Return a moment of UTC to the second."""
    return f"{day(at.astimezone(UTC))}, {at.astimezone(UTC):%H:%M:%S} UTC"


class Linked(Flowable):
    """A text that leads to a page."""

    def __init__(self, text: str, url: str) -> None:
        super().__init__()
        self.text, self.url = text, url

    def wrap(self, available_width: float, available_height: float) -> tuple[float, float]:
        """Take the whole width."""
        del available_height
        return available_width, _SIZE

    def draw(self) -> None:
        """Draw the text and lay the link over it."""
        canvas = self.canv
        canvas.setFont(PLAIN, _SIZE)
        canvas.setFillColor(BLUE)
        canvas.drawString(0, 2.5, self.text)
        canvas.linkURL(self.url, (0, 0, canvas.stringWidth(self.text, PLAIN, _SIZE), _SIZE), relative=1)


class _NumberedCanvas(Canvas):
    """Writes "page n of m" at the foot of every page, once it is known how many there are."""

    foot_text = ""

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - whatever the document gives
        super().__init__(*args, **options)
        self._kept: list[dict[str, Any]] = []

    def showPage(self) -> None:  # noqa: N802 - the library's name
        """Keep a page for later."""
        self._kept.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]  # the stubs lack it; ReportLab's own way to number pages

    def save(self) -> None:
        """Draw the feet and finish."""
        for number, page in enumerate(self._kept, start=1):
            self.__dict__.update(page)
            self.setFont(PLAIN, 8)
            self.setFillColor(FAINT)
            self.drawString(_MARGIN, _FOOT, self.foot_text)
            self.drawRightString(A4[0] - _MARGIN, _FOOT, f"Page {number} of {len(self._kept)}")
            super().showPage()
        super().save()
