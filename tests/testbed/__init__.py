"""A real Kubernetes control plane on one machine, and a node that runs pods as processes. Linux only; no root.

`programs` builds what runs, `pki` signs for it, `processes` starts and stops it, `control_plane` puts it together.
"""
