"""A pushed model's lineage: what a run tells the Pusher, `transom lineage`, and `transom reproduce`."""
