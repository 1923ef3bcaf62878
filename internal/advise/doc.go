// Package advise compares what a clip takes on the meshes of a pool of devices, and pools with each
// other: which mesh is the fastest and why the others are not, how many clips an hour a pool makes
// when several run side by side, what they cost, and what would help. It is pure. What a clip takes
// is predicted by package perf.
package advise
