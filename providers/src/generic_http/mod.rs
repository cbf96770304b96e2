//! Kind `http`: any vendor with a plain HTTP API, described by settings alone.
