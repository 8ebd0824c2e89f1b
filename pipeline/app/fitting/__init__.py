"""``tandem mine fit``: a regressor from the edge's boxes to what the big model gains, for the miner Learned."""
