"""Decisions and findings in the forms that people and other tools read.

Every form is one module with one pure function, `render(report) -> str`. A form changes how a result looks, never what
it is: nothing here decides, exits or prints, and what failed or could not be decided is visible in all of them.

    text = FORMATS["sarif"](DecisionReport(decision, DecisionContext("scorer@3", exit_code=3)))
    write_report(Path("gate.sarif"), text)

All text of a report may come from an attacker. Each form makes it harmless for its own reader; what they share stands
in `inert`.
"""

from assay.surfaces.reports.formats import FORMATS as FORMATS
from assay.surfaces.reports.formats import Renderer as Renderer
from assay.surfaces.reports.formats import write_report as write_report
from assay.surfaces.reports.results import CheckRun as CheckRun
from assay.surfaces.reports.results import DecisionContext as DecisionContext
from assay.surfaces.reports.results import DecisionReport as DecisionReport
from assay.surfaces.reports.results import Found as Found
from assay.surfaces.reports.results import Report as Report
from assay.surfaces.reports.results import ScanReport as ScanReport
from assay.surfaces.reports.results import Waived as Waived
