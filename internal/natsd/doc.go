// Package natsd embeds NATS servers: one in every coordinator, for the control plane and the object
// store, and one in every shard that brings its own part of the data plane.
//
// A server never prints and handles no signals. What it says goes to Options.Trouble; what it says
// as its last words comes back as the error of Start.
package natsd
