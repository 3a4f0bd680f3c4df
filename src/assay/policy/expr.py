"""`expr` rules: CEL in a wrapper so strict that only a true value of things that are there is a pass.

Compiled once per text and set of aliases, linted (`expr_lint`), evaluated on a document that is converted once per asset.
The library is an extra: without it every such rule is undecided. Its own limits do not bound memory, so a server runs
`decide` in a worker process. Source: Common Expression Language, cel-spec 0.2x; the C++ library behind cel-expr-python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from assay.core.canonical import Json
from assay.core.decisions import Observed, RuleOutcome
from assay.core.errors import MalformedInput, MissingExtra, PolicyError
from assay.policy.case import Case
from assay.policy.checked_expr import decode
from assay.policy.documents import MAX_EXPR_BYTES
from assay.policy.drafts import INSTALL_CEL, Draft, undecided
from assay.policy.expr_document import Document, bounded
from assay.policy.expr_fields import ASSET_SCHEMA, Schema, asset_document, document_of, schema_of_alias
from assay.policy.expr_lint import Meeting, Path, Reading, path_text, read_expression
from assay.policy.grammar import Expr, Policy, Rule
from assay.policy.selection import Selection

_ENVIRONMENT = """name: assay-rules
stdlib:
  exclude_macros: [map, filter, exists_one]
  exclude_functions:
    - name: "_+_"
    - name: matches
"""


@dataclass(frozen=True)
class Program:
    """A compiled and linted expression: every path that it `reads`, or `asks` for by has(); `optional` may be absent."""

    expression: Any  # cel_expr_python.cel.Expression
    bool_type: Any  # cel_expr_python.cel.Type.BOOL
    reads: tuple[Path, ...]
    asks: tuple[Path, ...]
    optional: frozenset[Path]
    meetings: tuple[Meeting, ...]
    nonempty: tuple[Path, ...]

    @property
    def parts(self) -> frozenset[tuple[str, str]]:
        """Alias and first field of everything that its answer depends on."""
        return frozenset((path[0], path[1]) for path in (*self.reads, *self.asks))


@dataclass(frozen=True)
class Answer:
    """What an expression came to: true, false, or None with the problem in words."""

    value: bool | None
    reason: str
    text: str
    trace: tuple[tuple[str, Json], ...]


def compile_expr(test: Expr, types: Mapping[str, str]) -> Program:
    """Compiles and lints; `types` maps each alias to its statement type.

    Raises:
        PolicyError: the expression is refused; says why.
        MissingExtra: cel-expr-python is not installed.
    """
    return _compiled(test, tuple(sorted(types.items())))


def run(program: Program, document: Document) -> Answer:
    """Evaluates on a document; anything short of a clean true or false is undecided."""
    trace = tuple((path_text(path), document.look(path).traced) for path in program.reads)
    for path in program.reads:
        seen = document.look(path)
        if seen.problem or (seen.absent and path not in program.optional):
            return Answer(None, "absent-field", f"{path_text(path)} {seen.problem or 'is missing'}", trace)
    for path in program.nonempty:
        if any(not value for value in document.look(path).values) or not document.look(path).values:
            return Answer(None, "empty", f"{path_text(path)} is empty", trace)
    for meeting in program.meetings:
        if problem := document.kind_problem(meeting.path, meeting.kind):
            return Answer(None, "wrong-type", f"{path_text(meeting.path)} {problem}", trace)
    try:
        result = program.expression.eval(activation=document.activation)
        if result.type() != program.bool_type:
            return Answer(None, "expr-error", str(result.plain_value())[:200], trace)
        value = result.plain_value()
    except RuntimeError as error:
        return Answer(None, "expr-error", str(error)[:200], trace)
    return Answer(value, "ok", "true", trace) if value is True else Answer(False, "not-true", "false", trace)


def make_document(value: Mapping[str, Json], names: Iterable[str]) -> Document:
    """Bounds a document and converts it for CEL, once for all rules that read it.

    Raises:
        MalformedInput: it is larger than expressions may read.
        MissingExtra: cel-expr-python is not installed.
    """
    kept = bounded(value)
    return Document(kept, _environment(tuple(sorted({*names, "asset"}))).Activation(kept))


def engine_version(policies: Iterable[Policy]) -> dict[str, str]:
    """The version of the expression engine, if any policy has an expression."""
    if not any(isinstance(rule.test, Expr) for policy in policies for rule in policy.rules):
        return {}
    from importlib.metadata import PackageNotFoundError, version

    try:
        return {"cel-expr-python": version("cel-expr-python")}
    except PackageNotFoundError:
        return {"cel-expr-python": "not installed"}


@dataclass
class Expressions:
    """The expressions of one policy on one case; the document is made at the first of them."""

    case: Case
    selections: Mapping[str, Selection]
    _programs: dict[str, Program] = field(default_factory=dict)
    _document: Document | None = None

    def judge(self, rule: Rule, test: Expr) -> Draft:
        """The draft of an expression rule.

        Raises:
            PolicyError: the lint refuses the expression; names policy and line.
        """
        try:
            program = self._program(rule, test)
            aliases = sorted({alias for alias, _ in program.parts} & set(self.selections))
            cited = tuple(c for alias in aliases for c in self.selections[alias].cited)
            if bad := next((self.selections[alias] for alias in aliases if self.selections[alias].problem), None):
                return undecided(bad.problem, bad.text, test.text, cited)
            answer = run(program, self._made())
        except MissingExtra as error:
            return undecided("missing-extra", error.why, test.text, fix=INSTALL_CEL)
        except MalformedInput as error:
            return undecided("too-large", f"{error.what}: {error.why}", test.text)
        outcome = {True: RuleOutcome.PASS, False: RuleOutcome.FAIL, None: RuleOutcome.UNDECIDED}[answer.value]
        return Draft(outcome, answer.reason, Observed(text=answer.text), test.text, trace=answer.trace, evidence=cited)

    def _program(self, rule: Rule, test: Expr) -> Program:
        types = {alias: spec.type for alias, spec in self.case.policy.evidence.items()}
        try:
            return compile_expr(test, types)
        except PolicyError as error:
            place = f"{self.case.policy.source or self.case.policy.name}, line {rule.line}: rule {rule.id}"
            raise PolicyError(f"{place}: {error.what}", error.why, error.fix) from error

    def _made(self) -> Document:
        if self._document is None:
            tests = [(rule, rule.test) for rule in self.case.policy.rules if isinstance(rule.test, Expr)]
            parts = {part for rule, test in tests for part in self._program(rule, test).parts}
            value: dict[str, Json] = {"asset": asset_document(self.case)}
            for alias, selection in self.selections.items():
                wanted = frozenset(name for owner, name in parts if owner == alias)
                value[alias] = document_of(self.case, selection, wanted)
            self._document = make_document(value, self.selections)
        return self._document


@lru_cache(maxsize=64)
def _environment(names: tuple[str, ...]) -> Any:
    try:
        from cel_expr_python import cel
    except ImportError as error:
        raise MissingExtra(
            "expressions cannot be evaluated", "cel-expr-python is not installed", INSTALL_CEL
        ) from error
    config = cel.NewEnvConfigFromYaml(_ENVIRONMENT)
    return cel.NewEnv(config=config, variables=dict.fromkeys(names, cel.Type.DYN))


@lru_cache(maxsize=512)
def _compiled(test: Expr, types: tuple[tuple[str, str], ...]) -> Program:
    environment = _environment(tuple(sorted({*(alias for alias, _ in types), "asset"})))
    from cel_expr_python import cel

    if len(test.text.encode()) > MAX_EXPR_BYTES:
        raise PolicyError("the expression is too long", f"at most {MAX_EXPR_BYTES} bytes", "make it two rules")
    try:
        expression = environment.compile(test.text)
    except RuntimeError as error:
        raise PolicyError("the expression does not compile", " ".join(str(error).split())[:300]) from error
    if expression.return_type() != cel.Type.BOOL:
        raise PolicyError("the expression is not true or false", f"it is {expression.return_type().name()}")
    schemas: dict[str, Schema] = {alias: schema_of_alias(kind) for alias, kind in types} | {"asset": ASSET_SCHEMA}
    reading = read_expression(decode(expression.serialize()), schemas)
    nonempty = _declared_lists(test, reading)
    optional = frozenset(path for path in reading.reads if any(path[: len(g)] == g for g in reading.guarded))
    asks = tuple(sorted(reading.guarded))
    return Program(expression, cel.Type.BOOL, tuple(reading.reads), asks, optional, tuple(reading.meetings), nonempty)


def _declared_lists(test: Expr, reading: Reading) -> tuple[Path, ...]:
    """The paths of `nonempty`; every list whose emptiness would make a rule true must be declared one way."""
    nonempty, empty = ([tuple(text.split(".")) for text in texts] for texts in (test.nonempty, test.may_be_empty))
    for path in (*nonempty, *empty):
        if path not in reading.reads:
            raise PolicyError(f"{path_text(path)} is declared but never read", "remove it, or correct its name")
    for path in reading.vacuous:
        if (path in nonempty) == (path in empty):
            fix = f"add nonempty: [{path_text(path)}], or may_be_empty: [{path_text(path)}]"
            raise PolicyError(f"{path_text(path)} would pass if it were empty", "say which you mean", fix)
    return tuple(nonempty)
