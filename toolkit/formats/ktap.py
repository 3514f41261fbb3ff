"""What a test program printed, as a tree: KTAP 1, TAP 13 and TAP 14.

The formats are those of Documentation/dev-tools/ktap.rst and of what the kernel's selftests
really print: tools/testing/selftests/kselftest.h, kselftest_harness.h and kselftest/runner.sh.

The parser is pessimistic. A test passes only where a whole ``ok`` line says so; a test that was
planned, or that began, and has no result line is a CRASH. A line that is none of the protocol's
is kept as a diagnostic and never changes a status. Where the documents are ambiguous:

* One document lies in another where it is indented, or prefixed with ``# `` as the kselftest
  runner does it. A ``# `` may as well begin a comment, so such a document is believed only if
  it begins with a version line or a plan (the runner's children print no version line).
* A directive wins over ``ok``: ``ok 1 # TIMEOUT`` did not pass. ``ok # TODO`` is an XPASS.
* Numbers may come in any order, but each once: a second result with one number is an ERROR. A
  program that forks with its output unflushed repeats lines to the letter; where nothing else is
  amiss and every planned result came, that is none.
* A result right behind other text, without a newline between, is one if its number is due;
  without a plan only a failure is.
* ``ok`` of a subtest that has a header and no test in it is a SKIP: nothing was tested.
* What an indented ``---`` right below a result and a ``...`` enclose is TAP 14's YAML block on that
  result, whatever its lines look like. One without an end is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from toolkit.core.model.testing import Status, TestNode
from toolkit.core.text import lines_of
from toolkit.formats.ktap_block import Block
from toolkit.formats.ktap_document import Document, worst

MAX_DEPTH = 32  # nested documents; deeper ones are an ERROR, so that no tree exhausts the stack
MAX_REPORTS = 50_000  # lines that report something; with more the rest is an ERROR
MAX_PLAN = 1_000_000_000  # tests; what plans more plans this many
MAX_LINE = 1 << 16  # characters; what a longer line claims is not believed
# What the parser adds where something went wrong. Such a node stands for no test of the program.
PLACEHOLDER = re.compile(r"(?:Bail out!|plan|nesting|flood|[0-9]+\.\.[0-9]+)(?:#[0-9]+)?")

_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])|\x00")
_STAMP = re.compile(r"(?:<[0-9]{1,2}>)?\[ *[0-9]+\.[0-9]+\](?:\[ *[TC][0-9]+\])? ?")
_LEAD = re.compile(r"[ #]*")
_VERSION = re.compile(r"K?TAP version [0-9]{1,3}\s*$")
_PLAN = re.compile(r"1\.\.([0-9]+)\s*(?:#\s*(.*))?$")
_RESULT = re.compile(r"(not +)?ok\b(?:\s+([0-9]{1,9})(?=[\s#-]|$))?(?=\s|#|$)\s*(.*)$", re.DOTALL)
# Behind something printed without a newline: "Diff too high: 512345..not ok 1 check_itimer".
_GLUED = re.compile(r"[^\w\s#](?=(?:not )?ok [0-9]{1,9} \S)|\w(?=not ok [0-9]{1,9} \S)")
_BAIL = re.compile(r"Bail out!\s*(.*)$", re.IGNORECASE)
_SUBTEST = re.compile(r"Subtest: *(\S.*)$")
# kselftest_harness.h, __run_test(): "#  RUN           fixture.variant.case ..."
_RUN = re.compile(r"RUN +(\S.*) \.\.\.$")
_CHATTER = re.compile(  # of the harness and of the runner; it says nothing that a result does not
    r"(?:OK|FAIL)  \S+\s*$|SKIP      |Totals: pass:[0-9]|timeout set to [0-9]+$|$"
)
_DIRECTIVE = re.compile(
    r"(SKIP|SKIPPED|TODO|XFAIL|XPASS|TIMEOUT|ERROR)(?:[\s:]+(.*))?$", re.IGNORECASE | re.DOTALL
)
# A description ends at " #"; the directives are also seen right behind it, as in "name# SKIP".
_HASH = re.compile(
    r"(?:^|(?<=\s))#|(?<!\\)(?:\\\\)*#(?=\s*(?:SKIP|TODO|XFAIL|XPASS|TIMEOUT|ERROR)\b)",
    re.IGNORECASE,
)
# Of an "ok" line, which is believed to be a skip where a parser of TAP 13 or kunit.py takes it for
# one: "# skipping, no device", "# skip-it", "name #2 # SKIP why".
_SKIP = re.compile(r"(?:^|\s#\s*)SKIP(?:PED|PING)?\b[\s:,.;-]*(.*)$", re.IGNORECASE | re.DOTALL)

_OK_WITH = {
    "SKIP": Status.SKIP,
    "SKIPPED": Status.SKIP,
    "TODO": Status.XPASS,
    "XFAIL": Status.XFAIL,  # ksft_test_result_xfail() prints "ok N # XFAIL": it failed as expected
    "XPASS": Status.XPASS,
    "TIMEOUT": Status.TIMEOUT,
    "ERROR": Status.ERROR,
}
_NOT_OK_WITH = {**_OK_WITH, "TODO": Status.XFAIL}


def parse(lines: Iterable[str], *, cut: bool = False, more: bool = False) -> TestNode:
    """Return the tree of what ``lines`` report; its root is named "".

    ``lines`` may end in newlines or not. ``cut`` says that the last one may be incomplete: an
    ``ok`` in it is then no pass, since a directive may have followed. ``more`` says that others
    followed which nobody kept: without a plan it is an ERROR, since any of them may have failed.
    The root's status is the worst of its children's; without any it is SKIP for ``1..0`` and ERROR
    otherwise. Never raises, whatever the text.
    """
    parser = _Parser()
    previous: str | None = None
    for line in _split(lines):
        if previous is not None:
            parser.line(previous)
        previous = line
    if previous is not None:
        parser.line(previous, cut=cut)
    return parser.end(more=more)


def parse_text(text: str, *, complete: bool = True, more: bool = False) -> TestNode:
    """Return :func:`parse` of a whole output, or with ``more`` of its beginning.

    ``complete`` says that the program ended by itself, so that a last line without a newline
    is one that forgot it; otherwise it counts as cut off.
    """
    unfinished = bool(text) and not text.endswith("\n")
    return parse(lines_of(text), cut=unfinished and (more or not complete), more=more)


def _split(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines without what terminals and serial lines add to them."""
    for line in lines:
        yield from _ESCAPE.sub("", line.rstrip("\r\n")).split("\r")


class _Parser:
    """Reads lines into a stack of documents."""

    def __init__(self) -> None:
        self._root = Document("")
        self._stack = [self._root]
        self._done: list[TestNode] = []
        self._unfinished: Document | None = None  # before the root, and maybe a part of it
        self._reports = 0
        self._last: Document | None = None  # the line before was a result in it
        self._block: Block | None = None
        self._stamped = False
        self._skipped: str | None = None

    def line(self, text: str, *, cut: bool = False) -> None:
        """Take one line."""
        cut = cut or len(text) > MAX_LINE
        text = self._unstamped(text[:MAX_LINE]).expandtabs(4)
        if not self._in_block(text, cut=cut):
            self._last = None
            self._read(text, cut=cut)

    def _in_block(self, text: str, *, cut: bool) -> bool:
        """Return whether a line is part of a YAML block, or may be."""
        block = self._block
        if block is None:
            self._block = Block.begun(text, self._last) if self._last else None
            return self._block is not None
        if block.ends(text):
            block.document.annotate(block.content())
            self._block = None
            return True
        if block.takes(text) and not cut:
            block.lines.append(text)
            return True
        self._no_block()
        return False

    def _no_block(self) -> None:
        """Read the lines of a block that came to no end as what they look like."""
        block, self._block = self._block, None
        for text in block.lines if block else ():
            self._read(text)
        self._last = None

    def _read(self, text: str, *, cut: bool = False) -> None:
        match = _LEAD.match(text)
        lead = match.group() if match else ""
        body = text[len(lead) :]
        kinds = _VERSION.match(body), _PLAN.match(body), _RESULT.match(body), _BAIL.match(body)
        version, plan, result, bail = kinds
        if not any(kinds):
            result = self._glued(lead, body)
        if not (result or any(kinds)):
            self._diagnostic(lead, body, text)
            return
        self._reports += 1
        if self._reports > MAX_REPORTS:
            why = f"it has more than {MAX_REPORTS} lines that report something"
            self._root.trouble("flood", Status.ERROR, why)
        elif version:
            self._version(lead, body)
        elif plan:
            total = int(plan[1]) if len(plan[1]) < len(str(MAX_PLAN)) else MAX_PLAN
            self._plan(lead, total, plan[2] or "", text, cut)
        elif result:
            self._result(lead, result, text, cut)
        elif bail:
            self._bail(lead, bail[1], text)

    def end(self, *, more: bool = False) -> TestNode:
        """Close everything, and return the root; ``more`` lines came that are not there."""
        self._no_block()
        self._close_above(self._root)
        if more and self._root.plan is None and (self._root.begun or self._done):
            why = "it printed more than is kept, and no plan says how many results that has"
            self._root.trouble("flood", Status.ERROR, why)
        self._settle_unfinished(self._root)
        children = (*self._done, *self._root.finish())
        status = worst(child.status for child in children)
        if status is not None:
            return TestNode("", status, "", children)
        if self._root.skipped is not None or self._skipped is not None:
            return TestNode("", Status.SKIP, self._root.skipped or self._skipped or "")
        return TestNode("", Status.ERROR, self._root.message("the output holds no test result"))

    def _unstamped(self, text: str) -> str:
        """Strip a printk time stamp, once the document turned out to come out of the log."""
        stamp = _STAMP.match(text)
        if stamp is None:
            return text
        rest = text[stamp.end() :]
        if not self._stamped and _VERSION.match(rest.lstrip()):
            self._stamped = True
        return rest if self._stamped else text

    def _glued(self, lead: str, body: str) -> re.Match[str] | None:
        """Return the result behind other text in a line, where it is the one that is due."""
        at = _GLUED.search(body)
        document = next((doc for doc in self._stack if doc.lead == lead), None)
        if at is None or document is None:
            return None
        result = _RESULT.match(body[at.end() :])
        if result is None or not document.expects(int(result[2]), failed=bool(result[1])):
            return None
        document.say(body[: at.end()])
        return result

    # --- finding the document that a line belongs to ---------------------------------------

    def _find(self, lead: str, *, header: bool, numbered: bool = True) -> Document | None:
        """Return the document of a structural line, opened if need be; None for a comment."""
        for document in reversed(self._stack):
            if document.lead == lead:
                self._close_above(document)
                return document
        if len(lead) < len(self._root.lead):
            if self._is_comment(lead, self._root, header):
                return None
            self._close_above(self._root)
            self._root = Document(lead)
            self._stack.insert(0, self._root)
            self._close_above(self._root)
            return self._root
        parent = next((d for d in reversed(self._stack) if len(d.lead) < len(lead)), self._root)
        if self._is_comment(lead, parent, header) or not (header or numbered):
            return None
        self._close_above(parent)
        if len(self._stack) >= MAX_DEPTH:
            why = f"tests are nested deeper than {MAX_DEPTH} levels"
            parent.trouble("nesting", Status.ERROR, why)
            return None
        document = Document(lead, name=parent.nested_name)
        indented = lead.count("#") <= parent.lead.count("#")
        parent.nested_open, parent.nested_indented = True, indented
        self._stack.append(document)
        return document

    @staticmethod
    def _is_comment(lead: str, parent: Document, header: bool) -> bool:
        """Return whether a line with this ``lead`` opens no document in, or after, ``parent``."""
        commented = lead.count("#") > parent.lead.count("#")
        return commented and not (header and lead.endswith("# "))

    def _close_above(self, document: Document) -> None:
        while self._stack[-1] is not document:
            child = self._stack.pop()
            parent = self._stack[-1]
            parent.nested += child.finish()
            parent.nested_name = child.name or parent.nested_name
            for text in (child.skipped, *child.diagnostics):
                parent.say(text or "")

    def _restart(self, document: Document) -> Document:
        """Begin another document in the place of one that came to its end."""
        fresh = Document(document.lead, name=document.name)
        if document is self._root:
            self._settle_unfinished(document)
            self._unfinished = document
            self._skipped = document.skipped if self._skipped is None else self._skipped
            self._root = fresh
        else:
            self._stack[-2].nested += document.finish()
        self._stack[-1] = fresh
        return fresh

    def _settle_unfinished(self, later: Document) -> None:
        """Keep what the document before ``later`` has, unless that repeats it from the start."""
        before, self._unfinished = self._unfinished, None
        if before is not None and not later.is_begun_by(before):
            self._done += before.finish()

    # --- the kinds of lines ----------------------------------------------------------------

    def _version(self, lead: str, body: str) -> None:
        root = self._root
        if not (
            root.begun
            or root.headed
            or root.nested_open
            or self._done
            or self._unfinished
            or "#" in lead
        ):
            self._close_above(root)
            root.lead = lead  # the whole document is indented
        document = self._find(lead, header=True)
        if document is None:
            return
        if document.begun:
            document = self._restart(document)
        document.headed = body.startswith("TAP")

    def _plan(self, lead: str, total: int, comment: str, text: str, cut: bool) -> None:
        document = self._find(lead, header=True)
        if document is None:
            self._stack[-1].say(text)
            return
        if document.plan is not None:
            document = self._restart(document)
        document.plan = total
        if total == 0:
            directive = _DIRECTIVE.match(comment)
            document.skipped = ((directive[2] or "") if directive else comment).strip()
        elif cut:
            why = "the output ends inside the plan"
            document.trouble("plan", Status.CRASH, why)

    def _result(self, lead: str, match: re.Match[str], text: str, cut: bool) -> None:
        failed, digits, rest = bool(match[1]), match[2], match[3]
        numbered = digits is not None
        document = self._find(lead, header=False, numbered=numbered)
        # "ok then" in the middle of prose is a result only where it can hardly be anything else.
        prose = not (numbered or failed or rest.startswith("- ") or not rest)
        if document is None or (prose and (document.numbered or not document.headed)):
            self._stack[-1].say(text)
            return
        document.numbered |= numbered
        hashed = _HASH.search(rest)
        description = rest[: hashed.end() - 1] if hashed else rest
        comment = rest[hashed.end() :].strip() if hashed else ""
        directive = _DIRECTIVE.match(comment)
        status = Status.FAIL if failed else Status.PASS
        if directive:
            status = (_NOT_OK_WITH if failed else _OK_WITH)[directive[1].upper()]
            reason = directive[2] or ""
            keep = reason and status in (Status.TIMEOUT, Status.ERROR)
            comment = comment if keep else reason
        elif not failed and (skip := _SKIP.search(comment)):
            status, comment = Status.SKIP, skip[1]
        if cut and status is Status.PASS:
            status = Status.CRASH
            comment = f"the output ends inside this line; {comment}".rstrip("; ")
        name = re.sub(r"^-(?:\s+|$)", "", description.strip()).strip().replace("\\#", "#")
        document.add(int(digits) if numbered else None, name, status, comment)
        self._last = document

    def _bail(self, lead: str, reason: str, text: str) -> None:
        document = next((doc for doc in self._stack if doc.lead == lead), None)
        if document is None and "#" in lead:
            self._stack[-1].say(text)
            return
        document = document or self._stack[-1]
        document.trouble("Bail out!", Status.ERROR, reason.strip())

    def _diagnostic(self, lead: str, body: str, text: str) -> None:
        """Take a line that reports nothing: a comment, or anything else."""
        hash_at = lead.rfind("#")
        if hash_at >= 0:
            outer = lead[:hash_at]
            body = body.rstrip()
            if name := _SUBTEST.match(body):
                self._subtest(outer, name[1])
                return
            document = next((d for d in self._stack if d.lead == outer), None)
            if document and (run := _RUN.match(body)):
                self._close_above(document)
                document.running = run[1]
                return
            if _CHATTER.match(body):
                return
        top = self._stack[-1]
        shown = text[len(top.lead) :] if text.startswith(top.lead) else text
        top.say(shown.removeprefix("# ") if hash_at >= 0 else shown)

    def _subtest(self, outer: str, name: str) -> None:
        # KUnit writes the line inside the subtest, TAP 14 before it, at the parent's indentation.
        top = self._stack[-1]
        if top.lead == outer and top is not self._root and not top.results:
            top.name = name
            return
        parent = next((d for d in reversed(self._stack) if len(d.lead) <= len(outer)), self._root)
        if parent.lead.count("#") == outer.count("#"):
            parent.nested_name = name
            if len(outer) > len(parent.lead):  # by its indentation it is in the subtest already
                parent.nested_open = parent.nested_indented = True
