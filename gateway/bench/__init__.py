"""The load generator: many calls on a media WebSocket, and how well the far side keeps up with them.

`telnyx-gateway bench` is its command. The load leaves from processes of its own (`worker`), so that neither a table on
the screen nor a chart costs it time; the figures of all of them meet in one `Tally`. A generator that was late, or had
no CPU left, has measured itself: its figures are withheld (`verdict`).

    speech -> Content -> Generator -> LoadCall -> LoadSocket -> far side
                                          |
                         answers -> Meter -> Tally -> Level -> verdict, report, chart
"""
