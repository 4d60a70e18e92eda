# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTML for the page: its style, and tables."""
import html
import re

STYLE = """
:root { color-scheme: light dark; --ink: #1d2228; --paper: #fff; --muted: #565f6b; --rule: #dde1e6;
  --shade: #f4f6f8; --us: #0b62c4; --good: #1c7a3c; --bad: #b3261e; --them: #6b7480 }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7eb; --paper: #14181d; --muted: #a2abb6;
  --rule: #333b45; --shade: #1e242b; --us: #6db3ff; --good: #62cf92; --bad: #ff8a80; --them: #8d97a3 } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; color: var(--ink);
  background: var(--paper);
  font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .3rem }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; padding-top: .6rem; border-top: 1px solid var(--rule) }
h3 { font-size: 1rem; margin: 0 0 .1rem }
p, ul { max-width: 46rem; margin: .4rem 0 .9rem }
a { color: var(--us) }
.answer { font-size: 1.12rem; border-left: 4px solid var(--us); padding-left: .8rem }
.warn { border-left: 4px solid var(--bad); padding-left: .8rem }
.note, figcaption, caption { color: var(--muted); font-size: .9rem }
caption { text-align: left; padding-bottom: .3rem; max-width: 46rem }
.scroll { overflow-x: auto; margin: 0 -1rem; padding: 0 1rem }
table { border-collapse: separate; border-spacing: 0; font-size: .9rem;
  font-variant-numeric: tabular-nums }
th, td { padding: .28rem .7rem; text-align: right; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid var(--rule) }
thead th { vertical-align: bottom; border-bottom-width: 2px }
th:first-child { text-align: left; position: sticky; left: 0; background: var(--paper) }
tbody th { font-weight: inherit }
.left { text-align: left }
.wrap { white-space: normal; text-align: left; min-width: 11rem; max-width: 30rem }
.good { color: var(--good); font-weight: 600 } .bad { color: var(--bad); font-weight: 600 }
summary { cursor: pointer; margin: .8rem 0 }
small { color: var(--muted); font-size: .85em }
.plots { display: grid; gap: 1.8rem 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 24rem), 1fr)) }
figure { margin: 0; min-width: 0; max-width: 40rem }
figure svg { display: block; width: 100%; height: auto; color: var(--ink) }
code, pre { font: .88em/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }
pre { background: var(--shade); padding: .8rem 1rem; overflow-x: auto; border-radius: 4px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .92rem }
dt { color: var(--muted) } dd { margin: 0; overflow-wrap: anywhere }
@media (max-width: 44rem) {
  body { font-size: .95rem }
  th, td { padding: .28rem .45rem }
  .wrap { min-width: 8.5rem }
  dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem }
  .cards thead { position: absolute; clip-path: inset(50%) }
  .cards, .cards caption, .cards tbody, .cards tr, .cards th, .cards td { display: block }
  .cards tr { border-bottom: 1px solid var(--rule); padding: .45rem 0 }
  .cards th, .cards td { border: 0; padding: .05rem 0; text-align: left; white-space: normal;
    max-width: none }
  .cards tbody th { font-weight: 600; position: static }
  .cards td[data-label]::before { content: attr(data-label) " "; color: var(--muted) }
}
"""

E = html.escape


def plain(text):
    """Without markup, for an attribute."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text)).strip()


def table(head, rows, caption="", left=(0,), wrap=(), cards=False):
    """Columns @left are flush left, those of @wrap may break; @cards: a narrow window shows
    each row as a block with the headings beside the cells."""
    def cell(tag, i, text, more=""):
        kind = "wrap" if i in wrap and more != " scope=col" else "left" if i in left else ""
        return f"<{tag}{more}{' class=' + kind if kind else ''}>{text}</{tag}>"

    def row_cell(i, text):
        if i == 0:
            return cell("th", i, text, " scope=row")
        label = plain(head[i])
        label += "" if label.endswith("?") else ":" if label else ""
        return cell("td", i, text, f' data-label="{E(label)}"' if cards and label else "")

    out = [f"<div class=scroll><table{' class=cards' if cards else ''}>"]
    if caption:
        out.append(f"<caption>{caption}</caption>")
    out.append("<thead><tr>" + "".join(cell("th", i, t, " scope=col")
                                       for i, t in enumerate(head)) + "</tr></thead><tbody>")
    out += ["<tr>" + "".join(row_cell(i, t) for i, t in enumerate(row)) + "</tr>" for row in rows]
    out.append("</tbody></table></div>")
    return "\n".join(out)


def details(summary, *parts):
    return f"<details><summary>{summary}</summary>" + "".join(parts) + "</details>"
