# SPDX-License-Identifier: LGPL-2.1-or-later
"""HTML for the page: its style, and tables."""
import html
import re

STYLE = """
:root { color-scheme: light }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 72rem; padding: 1.5rem 1rem 4rem; color: #1d2228;
  background: #fff; font: 1rem/1.55 system-ui, "Segoe UI", Roboto, "Helvetica Neue", sans-serif }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 .3rem }
h2 { font-size: 1.2rem; margin: 2.6rem 0 .4rem; padding-top: .6rem; border-top: 1px solid #dde1e6 }
h3 { font-size: 1rem; margin: 0 0 .1rem }
p, ul { max-width: 46rem; margin: .4rem 0 .9rem }
.note, figcaption { color: #565f6b; font-size: .9rem }
.scroll { overflow-x: auto; margin: 0 -1rem; padding: 0 1rem }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff }
.legend { max-width: none; display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; padding: 0; list-style: none;
  font-size: .9rem }
.legend i { display: inline-block; width: 1.4em; height: .7em; margin-right: .45em;
  border-radius: 2px }
table { border-collapse: separate; border-spacing: 0; font-size: .9rem; font-variant-numeric: tabular-nums }
th, td { padding: .28rem .7rem; text-align: right; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid #e9ecf0 }
th { font-weight: 600; border-bottom: 2px solid #c9cfd6; vertical-align: bottom }
th:first-child, td:first-child, .left { text-align: left }
td.wrap { white-space: normal; text-align: left; min-width: 11rem; max-width: 30rem }
.good { color: #1c7a3c; font-weight: 600 } .bad { color: #b3261e; font-weight: 600 }
summary { cursor: pointer; margin: .8rem 0 }
td b { color: #0b62c4 }
small { color: #7a838f; font-size: .85em }
.plots { display: grid; gap: 1.8rem 2rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 26rem), 1fr)) }
figure { margin: 0; min-width: 0 }
figure svg { display: block; width: 100%; height: auto }
code, pre { font: .88em/1.5 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }
pre { background: #f4f6f8; padding: .8rem 1rem; overflow-x: auto; border-radius: 4px }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; font-size: .92rem }
dt { color: #565f6b } dd { margin: 0; overflow-wrap: anywhere }
@media (max-width: 40rem) { body { font-size: .95rem } th, td { padding: .28rem .45rem }
  td.wrap { min-width: 8.5rem }
  dl { grid-template-columns: 1fr; gap: 0 } dd { margin-bottom: .5rem } }
"""

E = html.escape


def table(head, rows, caption="", left=(0,), wrap=()):
    """Cells of columns @left are flush left, those of @wrap may break."""
    def cell(tag, i, text):
        kind = "wrap" if i in wrap and tag == "td" else "left" if i in left else ""
        return f"<{tag}{' class=' + kind if kind else ''}>{text}</{tag}>"
    out = [f"<p class=note>{caption}</p>" if caption else "", "<div class=scroll><table>"]
    out.append("<thead><tr>" + "".join(cell("th", i, t) for i, t in enumerate(head)) +
               "</tr></thead><tbody>")
    for row in rows:
        out.append("<tr>" + "".join(cell("td", i, t) for i, t in enumerate(row)) + "</tr>")
    out.append("</tbody></table></div>")
    return "\n".join(out)


def small_spread(text):
    return re.sub(r" (±\S+)", r" <small>\1</small>", E(text))
