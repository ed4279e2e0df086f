"""uvicorn's protocols, with what a file server needs on top: connections that end, limits to what one of them may take,
and a log without false alarms.

Written against uvicorn 0.54 and websockets 17.4: it leans on names inside them, and its tests say what must hold.
"""
