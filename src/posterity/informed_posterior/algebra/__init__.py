"""Linear algebra of anchors: dense arrays as they are, and arrows where many groups share a few latents."""
