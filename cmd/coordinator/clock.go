//go:build !chaos

package main

import "time"

// clock is the time of day; nil: the machine's.
func clock(string) func() time.Time { return nil }
