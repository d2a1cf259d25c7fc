//! The data plane of Tollhouse: the path of a call.

pub mod upstream {
    //! Towards the servers.

    pub mod child;
    pub mod lines;
    pub mod restart;
}

pub mod settings;
