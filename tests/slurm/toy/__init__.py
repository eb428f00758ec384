"""An experiment of nothing but seconds and megabytes, for tests of the cluster."""
