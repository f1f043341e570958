//! What a person can do wrong: each is told what it is about, why, and what to do, and ends with the code of its kind.
