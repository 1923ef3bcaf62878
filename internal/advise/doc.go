// Package advise compares what a clip takes on the meshes of a pool of devices, and pools with each
// other: which mesh is the fastest and why the others are not, how many clips an hour a pool makes
// when several run side by side, what they cost, and what would help. It is pure. What a clip takes
// is predicted by package perf.
//
// [Options] predicts all meshes that are worth a look on the devices where they are best, and marks
// the one of the least time and the one by which a pool makes the most clips. Each of the others
// says in a clause what it loses by. [Size] turns a rate of clips into a number of devices, and
// [Ifs] predicts what a faster network or one more host would change.
package advise
