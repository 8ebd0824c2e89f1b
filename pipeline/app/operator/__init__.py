"""The Kubernetes operator: from Sedna's objects in a cluster to what runs there, and back to their status."""
