"""What the paper's experiments need of the generator: a synthetic world with its pictures, and Figure 5."""
