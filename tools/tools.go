// Package tools has those scripts of this folder that the command runs.
package tools

import _ "embed" // of the script

// MLPerf is mlperf_sut.py, which lets MLPerf's LoadGen ask for clips.
//
//go:embed mlperf_sut.py
var MLPerf string
