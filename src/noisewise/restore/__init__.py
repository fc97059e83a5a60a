"""A noisy image or file in, a clean one out: diagnose, denoise, report; unclip for learners."""
