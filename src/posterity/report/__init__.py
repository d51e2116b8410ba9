"""The report of one answer: a single HTML file for those who will not open a terminal."""

from posterity.report.page import report_html, write_report

__all__ = ["report_html", "write_report"]
