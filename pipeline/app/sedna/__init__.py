"""KubeEdge Sedna's objects, and what they become: pure functions, from YAML to Tandem's config and to manifests."""
