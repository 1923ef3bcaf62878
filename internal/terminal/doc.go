// Package terminal prints what commands tell: lines, tables and JSON in which nothing can move the
// cursor or hide text.
package terminal
