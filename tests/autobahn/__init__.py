"""The Autobahn test suite against a real server: `./run autobahn`. `./run test` runs only what judges its verdicts."""
