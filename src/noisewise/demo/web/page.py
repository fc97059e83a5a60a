"""The page: a title and three tabs."""

from __future__ import annotations

import gradio as gr

from noisewise.demo.web.audit import audit_tab
from noisewise.demo.web.hardening import hardening_tab
from noisewise.demo.web.job import Jobs
from noisewise.demo.web.photograph import photograph_tab

__all__ = ["build_page"]

_TITLE = "noisewise: noise, put to work"
_SENTENCE = "Clean noisy photographs, harden trained networks against noise, and audit what they predict."


def build_page(jobs: Jobs) -> gr.Blocks:
    """The page, not served yet."""
    page = gr.Blocks(title=_TITLE, analytics_enabled=False)
    with page:
        gr.Markdown(f"# noisewise\n{_SENTENCE}")
        with gr.Tab("Clean a photograph"):
            photograph_tab(jobs)
        with gr.Tab("Harden a network"):
            hardening_tab(jobs)
        with gr.Tab("Audit a network"):
            audit_tab(jobs)
    page.queue(max_size=jobs.limits.waiting)
    return page
