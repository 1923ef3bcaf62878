// Package natsd embeds NATS servers: one in every coordinator, for the control plane and the object
// store, and one in every shard that brings its own part of the data plane.
//
// A server never prints and handles no signals. What it says goes to Options.Trouble; what it says
// as its last words comes back as the error of Start.
//
// A [Lock] closes it to all who have no certificate of the cluster: then both of its ports speak
// TLS, and the role and name in a certificate say which subjects a client may use.
package natsd
