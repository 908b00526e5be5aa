"""The verification manual: problems with known answers, run by ``gemel verify``."""

from gemel.engine.verification.case import Case, Check
from gemel.engine.verification.manual import recorded, write_manual
from gemel.engine.verification.registry import CASES, groups, select
from gemel.engine.verification.runner import Outcome, Summary, run_case, run_cases, summarise
from gemel.engine.verification.table import COLUMNS, Row, records, rows

__all__ = [
    "CASES",
    "COLUMNS",
    "Case",
    "Check",
    "Outcome",
    "Row",
    "Summary",
    "groups",
    "recorded",
    "records",
    "rows",
    "run_case",
    "run_cases",
    "select",
    "summarise",
    "write_manual",
]
