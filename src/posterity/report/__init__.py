"""Reports for those who will not open a terminal: a single HTML file for one answer, or for a calibration check."""

from posterity.report.calibration import check_report_html, write_check_report
from posterity.report.groups import groups_report_html, write_groups_report
from posterity.report.page import report_html, write_report

__all__ = [
    "check_report_html",
    "groups_report_html",
    "report_html",
    "write_check_report",
    "write_groups_report",
    "write_report",
]
