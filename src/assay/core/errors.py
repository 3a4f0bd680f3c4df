"""Every error a user can meet: a stable code, what happened, why, and what to do next.

AssayError
├── UsageError         A-USAGE      wrong arguments, unknown names, bad configuration          exit 2
│   └── PolicyError    A-POLICY     a policy document that does not say one clear thing        exit 2
├── MalformedInput     A-MALFORMED  hostile or broken bytes: bundles, manifests, notes, tables exit 1
├── EvidenceError      A-EVIDENCE   a signature, trust policy or proof that does not hold      exit 1
│   └── TrustError     A-TRUST      the trust policy itself: expired, rolled back, too few     exit 1
├── LedgerError        A-LEDGER     the log cannot be read, was edited, cut or restored        exit 3
│   └── LedgerDamaged  A-DAMAGED    proof that the log is not what it was                      exit 1
├── StateError         A-STATE      the lifecycle does not allow this move                     exit 1
├── Refused            A-REFUSED    a decision or quarantine forbids it                        exit 1
├── Undecided          A-UNDECIDED  it could not be decided; names what would decide it        exit 3
├── ChangedMeanwhile   A-CHANGED    bytes changed while they were being read                   exit 3
├── StorageError       A-STORAGE    disk full, folder not writable, database locked            exit 3
└── MissingExtra       A-EXTRA      an optional library is absent; names the install line      exit 3
"""

from __future__ import annotations


class AssayError(Exception):
    """Something the user should know: `what` happened, `why`, and how to `fix` it.

    `code` is stable across releases and `exit_code` follows the rule of the command line: 1 denied,
    2 wrong use, 3 undecided or could not finish.
    """

    code = "A-ERROR"
    exit_code = 4

    def __init__(self, what: str, why: str = "", fix: str = "", *, reason: str = "") -> None:
        super().__init__(what, why, fix)
        self.what, self.why, self.fix = what, why, fix
        self.reason = reason

    def __str__(self) -> str:
        lines = [f"{self.what}  [{self.code}]"]
        lines += [f"  why   {self.why}"] if self.why else []
        lines += [f"  fix   {self.fix}"] if self.fix else []
        return "\n".join(lines)


class UsageError(AssayError):
    """The command, argument or configuration does not say something that can be done."""

    code, exit_code = "A-USAGE", 2


class PolicyError(UsageError):
    """A policy document is not well formed; the message names the place and the nearest known key."""

    code = "A-POLICY"


class MalformedInput(AssayError):
    """Bytes from outside do not follow their format, or exceed a bound."""

    code, exit_code = "A-MALFORMED", 1


class EvidenceError(AssayError):
    """A signature, role, threshold or proof does not hold. `reason` is a stable word for reports."""

    code, exit_code = "A-EVIDENCE", 1


class TrustError(EvidenceError):
    """The trust policy is expired, rolled back, signed by too few, or malformed."""

    code = "A-TRUST"


class LedgerError(AssayError):
    """The ledger cannot be read or written now; nothing was acknowledged."""

    code, exit_code = "A-LEDGER", 3


class LedgerDamaged(LedgerError):
    """The ledger was edited, cut, forked or restored from an older copy."""

    code, exit_code = "A-DAMAGED", 1


class StateError(AssayError):
    """The lifecycle table has no such move from where the asset stands."""

    code, exit_code = "A-STATE", 1


class Refused(AssayError):
    """A decision, quarantine or retirement forbids what was asked."""

    code, exit_code = "A-REFUSED", 1


class Undecided(AssayError):
    """There is not enough valid evidence to say yes; that blocks."""

    code, exit_code = "A-UNDECIDED", 3


class ChangedMeanwhile(AssayError):
    """A file changed while it was being hashed, so no digest would be true."""

    code, exit_code = "A-CHANGED", 3


class StorageError(AssayError):
    """The workspace could not be read or written: full disk, permissions, lock."""

    code, exit_code = "A-STORAGE", 3


class MissingExtra(AssayError):
    """An optional library is not installed. Never read as a pass."""

    code, exit_code = "A-EXTRA", 3
