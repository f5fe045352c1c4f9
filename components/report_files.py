"""Names of the JSON files in which steps report what they found, see `components.report.step_reports`."""

DATA_FILE, FINDINGS_FILE = "data.json", "findings.json"
EVALUATION_FILE, ROWS_FILE = "summary.json", "rows.json"
SERVING_FILE, EDGE_FILE = "serving.json", "edge_report.json"
