// Package topology chooses where the ranks of a job run: a mesh and a node for each of its ranks,
// together, by the time that a step is predicted to take there. It is pure: [Predict] and [Choose]
// depend on their arguments alone.
//
// # What lies between two ranks
//
// A [Site] is a node: its process, host and rack, its speed, and what it has measured of its links.
// Two ranks share a process, else a host, else a rack, else nothing ([Class]). Within a process and
// within a host each rank has its link for itself. What leaves a host goes through the network
// interface that all of the host's ranks share, and what leaves its rack is also bound by what the
// host reaches there. Each direction counts apart. A message arrives after a delay, however small
// it is; nodes of a host share what one of them has measured.
//
// # The time of a step
//
// With the windows W_g and passes p_g of group g, T_u tokens and H_u heads of rank u, N and H in
// all, the speeds s_u and, of attention, t_u, and what else a pass takes, e_u:
//
//	C_g  = p_g · max_u (linear · T_u/N / s_u + attention · H_u/H / t_u + e_u)
//	A_g  = max over ranks of g:  p_g · bytes within the process / rate, likewise within the host
//	       and over hosts of g:  bytes of activations of all groups that leave the host, or reach
//	                             it, / the host's rate; likewise for those that leave the rack
//	D_g  = p_g · 2 · layers · the longest delay between two ranks of g
//	x_g  = C_g + A_g − min(A_g/2, Q_g) − min(A_g/8, a_g/2) + D_g
//	V    = max over the same links: bytes of velocities / rate, + the longest delay
//	step = max_g x_g + V
//
// A quarter of A_g each is for values, keys, queries and attention's output. The engine sends
// values and keys while it computes keys and queries, which take Q_g, and half of the output while
// it computes the other half of attention, which takes a_g in all, on the slowest rank: so much of
// A_g is hidden. Of e_u, what the host takes to issue kernels hides them, too: it counts to a_g in
// full, and to Q_g as the part that these are of linear. Queries, and the rest of the output, are
// waited for: twice in a layer for as long as a message takes on its way. What it costs to pack and
// unpack messages is left out.
//
// Other programs are predicted, too: those that hide nothing (A_g in full), and ring attention,
// where each rank sends the next one the keys and values that it lacks, of A_g bytes, and hides
// them behind a_g. Choose does not look for places of such.
package topology
