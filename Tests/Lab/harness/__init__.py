"""The host's half of the lab: a sandbox, a one-node Ceph in it, and the guest kernel."""
