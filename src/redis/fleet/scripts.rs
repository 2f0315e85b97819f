//! The scripts of the fleet.

use crate::redis::script::Script;

macro_rules! scripts {
    ($($name:ident: $($file:literal)+,)+) => {
        #[derive(Debug)]
        pub(super) struct Scripts { $(pub(super) $name: Script,)+ }

        impl Scripts {
            pub(super) fn new() -> Self {
                Self {
                    $($name: Script::new(concat!(include_str!("scripts/prelude.lua"), $(include_str!($file)),+)),)+
                }
            }
        }
    };
}

scripts! {
    beat: "scripts/history.lua" "scripts/beat.lua",
    anew: "scripts/history.lua" "scripts/anew.lua",
    announce: "scripts/announce.lua",
    members: "scripts/members.lua",
    ask: "scripts/ask.lua",
    store: "scripts/store.lua",
    renew: "scripts/renew.lua",
}
