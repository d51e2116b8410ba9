"""The pages of the documentation as something that runs: their code, their links, their figures, their mathematics."""
