"""How the report looks: on a bright and a dark screen, and on paper. A sign or shape stands beside every colour."""

_COLOURS = """
:root { --ink:#1b1f24; --soft:#5b6470; --paper:#fff; --panel:#f5f6f8; --rule:#d5d9df; --line:#1f5fa8;
  --band:#1f5fa833; --other:#7a4a9c; --ok:#1d6b3a; --warn:#8a5a00; --alarm:#b3261e; --unknown:#5b6470; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6e9ee; --soft:#9aa4b2; --paper:#14171b; --panel:#1d2127;
  --rule:#3a414b; --line:#7fb4f0; --band:#7fb4f033; --other:#c79be6; --ok:#7fce9a; --warn:#e8b44c;
  --alarm:#ff8a80; --unknown:#9aa4b2; } }
@media print { :root { --ink:#000; --soft:#333; --paper:#fff; --panel:#fff; --rule:#999; --line:#000;
  --band:#00000022; --other:#555; --ok:#000; --warn:#000; --alarm:#000; --unknown:#333; } }
"""
_WORDS = """
* { box-sizing:border-box }
body { font:15px/1.45 system-ui,"DejaVu Sans",sans-serif; color:var(--ink); background:var(--paper);
  max-width:60rem; margin:0 auto; padding:1.2rem }
h1 { font-size:1.5rem; margin:0 0 .2rem }
h2 { font-size:1.15rem; margin:2rem 0 .4rem; border-bottom:1px solid var(--rule); padding-bottom:.2rem }
h3 { font-size:1rem; margin:1.2rem 0 .1rem }
p { margin:.3rem 0; overflow-wrap:anywhere }
.soft, figcaption { color:var(--soft); font-size:.87rem }
.wide { overflow-x:auto }
table { border-collapse:collapse; font-size:.9rem; margin:.4rem 0 }
th, td { padding:.22rem .6rem; text-align:right; border-bottom:1px solid var(--rule); vertical-align:top;
  font-variant-numeric:tabular-nums }
th { font-weight:600; color:var(--soft) }
th.w, td.w { text-align:left; overflow-wrap:break-word; max-width:46rem }
td:not(.w) { white-space:nowrap }
caption { text-align:left; color:var(--soft); font-size:.87rem; padding-bottom:.2rem }
.state { font-weight:600; white-space:nowrap }
.ok { color:var(--ok) } .warn { color:var(--warn) } .alarm { color:var(--alarm) } .unknown { color:var(--unknown) }
.box { background:var(--panel); color:inherit; border-left:4px solid var(--rule); padding:.5rem .8rem; margin:.5rem 0 }
.box.ok { border-color:var(--ok) } .box.warn { border-color:var(--warn) }
.box.alarm { border-color:var(--alarm) } .box.unknown { border-color:var(--unknown) }
.box.ok, .box.warn, .box.alarm, .box.unknown { color:inherit }
details { margin:.6rem 0 } summary { cursor:pointer; color:var(--soft) }
td.cell { text-align:center; min-width:4.5rem; background:color-mix(in srgb, var(--line) var(--s), transparent) }
td.hit { outline:1.5px solid var(--soft); outline-offset:-2px }
@media print { details::details-content { content-visibility:visible; height:auto }
  h2, h3 { break-after:avoid } body { font-size:10.5pt; max-width:none; padding:0 }
  figure, .box, tr { break-inside:avoid } }
"""
_PICTURES = """
figure { margin:.4rem 0 1rem } svg { width:100%; height:auto; display:block }
.few { display:grid; grid-template-columns:repeat(auto-fill,minmax(17rem,1fr)); gap:.2rem 1.2rem }
.few figure { margin:.1rem 0 .3rem }
.few h3 { margin:.4rem 0 0; font-size:.92rem; overflow-wrap:anywhere } .small svg { max-width:24rem }
svg text { font:11px system-ui,"DejaVu Sans",sans-serif; fill:var(--soft) }
svg .b { font-weight:600; fill:var(--ink) } svg .q { font-size:12px; font-weight:600; fill:var(--unknown) }
svg path, svg polyline { fill:none }
svg .axis { stroke:var(--soft) } svg .grid { stroke:var(--rule); stroke-width:.6 }
svg .now { stroke:var(--line); stroke-width:1.8 } svg .nowdot { fill:var(--line) } svg .band { fill:var(--band) }
svg .young { fill:var(--paper); stroke:var(--line); stroke-width:1.5 }
svg .err { stroke:var(--line); stroke-width:1.2 }
svg .then { fill:var(--paper); stroke:var(--other); stroke-width:1.4 }
svg .thenline { stroke:var(--other); stroke-dasharray:3 3; stroke-width:1.2 }
svg .goal { stroke:var(--ink); stroke-dasharray:7 4 } svg .held { stroke:var(--soft); stroke-dasharray:2 3 }
svg .swap { stroke:var(--other) }
svg .bar { fill:var(--line) } svg .over { fill:var(--alarm) }
svg .rest { fill:var(--panel); stroke:var(--soft); stroke-width:.7 }
svg .was { stroke:var(--ink); stroke-width:1.4 }
@media print { svg .bar { fill:#aaa } svg .over { fill:#555 } }
"""
STYLE = _COLOURS + _WORDS + _PICTURES
