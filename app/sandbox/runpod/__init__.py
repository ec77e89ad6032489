"""RunPod's REST API v2: catalog, pods, keys and books of one account."""
