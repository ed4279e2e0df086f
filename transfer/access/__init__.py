"""Who is calling, and what they may do: principals, how they prove who they are, and how it ends."""
