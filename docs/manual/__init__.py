"""The manual: what of `docs/` the code knows best is written from it, and all of it is built as a site: `./run docs`.

`reference` names the pages and what writes each; `links`, `hooks` and `outside` are about the site.
"""
