"""May this answer be believed? Importance weights, samplers that start from q, and the verdict."""
