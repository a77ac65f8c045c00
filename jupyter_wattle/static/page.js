var{mountPage:e}=await import("./wattle.js"),t=document.getElementById("wattle");t&&e(t);
