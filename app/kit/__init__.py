"""What every room may use: money, ids, clock, errors, database, reconcile runner, log. Knows no business."""
