"""Modal's control plane as its SDK sees it: gRPC on a port of its own. Needs the ``modal`` package."""
