"""A rental desk: machines that have a price on a sheet, and five HTTP calls to rent them by."""
