"""The model-free methods that the paper compares with (Sec. 4.1): Attention-PPO, CommNet and G2A."""
